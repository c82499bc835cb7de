"""python -m netexfil"""

from netexfil.cli import main

main()
