import pytest

from localmix.registry.file_names import group_models, quantization_of, split_quantization


@pytest.mark.parametrize(
    ("path", "quantization"),
    [
        ("Mistral-7B-Instruct-v0.3-Q4_K_M.gguf", "Q4_K_M"),
        ("mistral-7b-instruct-v0.2.q4_k_m.gguf", "Q4_K_M"),
        ("mixtral-8x7b-instruct-v0.1.Q4_0.gguf", "Q4_0"),
        ("Q8_0/name-Q8_0-00001-of-00003.gguf", "Q8_0"),
        ("model-IQ4_XS.gguf", "IQ4_XS"),
        ("model.Q6_K.gguf", "Q6_K"),
        ("model-f16.gguf", "F16"),
        ("model.BF16.gguf", "BF16"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("merge-of-Q4_0-Q5_K_M.gguf", "Q5_K_M"),
        ("ggml-model.gguf", ""),
        ("Qwen3-30B.gguf", ""),
        ("mistral-7b-q4km.gguf", ""),
    ],
)
def test_the_quantization_stands_in_the_file_name(path, quantization):
    assert quantization_of(path) == quantization


@pytest.mark.parametrize(
    ("tag", "parts"),
    [
        ("mistral:7b-instruct-v0.3-q4_K_M", ("mistral:7b-instruct-v0.3", "Q4_K_M")),
        ("mistral:q5_k_m", ("mistral", "Q5_K_M")),
        ("mixtral-q4_0", ("mixtral", "Q4_0")),
        ("mistral:7b-q9_K_M", ("mistral:7b", "Q9_K_M")),
        ("mistral:7b-instruct-v0.3", ("mistral:7b-instruct-v0.3", "")),
        ("q4_0", ("q4_0", "")),
    ],
)
def test_a_tag_may_end_in_a_quantization(tag, parts):
    assert split_quantization(tag) == parts


def test_shards_are_one_model_in_order():
    paths = [f"a/m-Q8_0-0000{i}-of-00003.gguf" for i in (3, 1, 2)]
    [model] = group_models(paths)
    assert model.paths == tuple(sorted(paths))
    assert model.is_whole
    assert (model.stem, model.quantization) == ("a/m-Q8_0", "Q8_0")


def test_a_missing_shard_is_noticed():
    [model] = group_models(["m-Q8_0-00001-of-00003.gguf", "m-Q8_0-00003-of-00003.gguf"])
    assert not model.is_whole


def test_projectors_matrices_and_other_files_are_no_models():
    paths = ["README.md", "mmproj-model-f16.gguf", "m.imatrix.gguf", "config.json", "m-Q4_0.gguf"]
    assert [model.paths for model in group_models(paths)] == [("m-Q4_0.gguf",)]
