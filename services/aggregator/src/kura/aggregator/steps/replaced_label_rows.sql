SELECT uuid FROM changed WHERE uuid IS NOT NULL
