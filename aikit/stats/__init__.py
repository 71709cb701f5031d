"""Paired, clustered and sequentially valid answers for prompt experiments."""

# No public function may bear the name of a module of this package: importing the module would hide the function
# (so `compare` lives in comparison.py). A test holds this.
