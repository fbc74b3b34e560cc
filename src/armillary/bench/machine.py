"""What tells the rates of the machine in the same run: a matrix product and a copy."""

PRODUCT = "matrix product"
PRODUCT_SIZE = 1536
COPY = "copy"
COPY_NUMBERS = 2**26  # more than caches hold
