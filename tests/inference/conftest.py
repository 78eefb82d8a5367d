from tests.inference.trained import live, photos, run_folder, same_start  # noqa: F401 (fixtures)
