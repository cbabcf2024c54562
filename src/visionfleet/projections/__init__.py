"""Pure functions from the deployment's file to what each engine takes."""
