"""What ``armillary bench`` measures: layers beside those of torch-harmonics and ``torch.nn.Conv2d``, in turns.

``cases``        what is measured, and the jobs of the implementations
``suites``       which cases make a suite, its table and its picture
``turns``        processes that take turns, and what is made of their times
``peer``         the environment of torch-harmonics: find it, make it, run a worker in it
``peer_cases``   how a layer of torch-harmonics is the same as one of armillary
``workers``      scripts that run in either environment
``operations``   operations counted, exponents fitted
``record``       the machine, the versions, files and tables
``pictures``     what is drawn
``gate``         ratios compared with recorded ones
"""
