"""A slow, plain-Python reading of the OpenShift rules: what the product's results are compared with.

Rows are dictionaries, sums are Python floats, nothing is shared with the product. The rules are followed in
the order in which they are stated, one function for each, without regard to speed.
"""
