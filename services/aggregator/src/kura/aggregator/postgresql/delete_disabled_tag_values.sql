DELETE FROM reporting_ocptags_values AS stored
USING reporting_enabledtagkeys AS keys
WHERE keys.key = stored.key AND keys.provider_type = 'OCP' AND NOT keys.enabled
