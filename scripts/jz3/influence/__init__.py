"""How much a problem would help on the targets (LESS, section 3.3), and what that chooses.

`reference_run` is the model that judges; `sample_gradients`, `adam_features` and
`target_directions` are what is compared, whole or through a `projection` in a `feature_store`.
"""
