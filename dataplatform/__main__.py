"""`python -m dataplatform`: the command line."""

from dataplatform.system.cli.main import console

if __name__ == "__main__":
    console()
