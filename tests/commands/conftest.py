from tests.inference.trained import live, photos, run_folder  # noqa: F401 (fixtures)
