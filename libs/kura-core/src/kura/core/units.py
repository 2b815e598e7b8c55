"""Units of measure: the factors between what is collected and what is reported."""

SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86_400

GIB = 2**30
"""Bytes in one GiB. Memory and storage are reported in binary units."""

MIB_IN_GB = 0.001048576
"""Decimal gigabytes in one MiB: GPU memory is reported in decimal units."""

MEBIBYTE = 2**20
