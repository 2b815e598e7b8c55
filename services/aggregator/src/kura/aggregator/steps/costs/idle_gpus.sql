SELECT usage_start, node, tag_value AS gpu_model_name, quantity * unit_rate AS cost
FROM charges
WHERE target = 'gpu' AND namespace = 'GPU unallocated'
