"""Run files of a small net on Iris, which trains in no time."""


def iris_run(**training: object) -> str:
    """Return a run file of a 4-8-3 net with these keys of its section [training]."""
    keys = "".join(f"{key} = {value}\n" for key, value in training.items())
    return f'[data]\nsource = "iris"\n[model]\nlayers = [4, 8, 3]\n[training]\n{keys}'
