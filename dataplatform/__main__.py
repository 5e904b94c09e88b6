"""`python -m dataplatform`: the command line."""

from dataplatform.system.__main__ import console

if __name__ == "__main__":
    console()
