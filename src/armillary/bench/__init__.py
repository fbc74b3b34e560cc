"""What ``armillary bench`` measures: layers beside those of torch-harmonics, escnn and ``torch.nn``, in turns.

``cases``        what is measured on the sphere, and the jobs of the implementations
``gcnn_cases``   the same for networks over p4 and p4m; ``gcnn_tables`` their tables
``suites``       which cases make a suite, its table and its picture
``turns``        processes that take turns, and what is made of their times
``peer``         the environments of torch-harmonics and escnn: find one, make it, run a worker in it
``peer_cases``   how a layer of torch-harmonics is the same as one of armillary
``escnn_cases``  how a layer of escnn is the same as one of armillary
``workers``      scripts that run in either environment
``operations``   operations counted, exponents fitted
``record``       the machine, the versions, files and tables
``pictures``     what is drawn
``gate``         ratios compared with recorded ones
"""
