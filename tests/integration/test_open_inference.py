"""tritonclient's HTTP client, unmodified, asks predict."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from tests.kit.predicting import TASK, Predict, running

SMILES = ["CCO", "nonsense", "c1ccccc1O"]


@pytest.fixture(scope="module")
def predict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predict]:
    with running(tmp_path_factory.mktemp("predict"), level=1.5, version=3) as made:
        yield made


@pytest.fixture
def client(predict: Predict) -> Iterator[Any]:
    made = InferenceServerClient(f"127.0.0.1:{predict.status()['port']}")
    yield made
    made.close()


def _input(smiles: list[str], *, binary: bool, deep: bool = False) -> Any:  # noqa: ANN401 - untyped
    shape = [len(smiles), 1] if deep else [len(smiles)]
    made = InferInput("SMILES", shape, "BYTES")
    texts = np.array([text.encode() for text in smiles], dtype=np.object_).reshape(shape)
    made.set_data_from_numpy(texts, binary_data=binary)
    return made


def test_it_is_alive_ready_and_says_what_it_is(client: Any) -> None:  # noqa: ANN401 - untyped
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("onggi")
    assert client.is_model_ready("onggi", "3")
    assert not client.is_model_ready("onggi", "4")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    model = client.get_model_metadata("onggi")
    assert client.get_model_metadata("onggi", "3") == model
    assert (model["name"], model["versions"]) == ("onggi", ["3"])
    assert model["inputs"] == [{"name": "SMILES", "datatype": "BYTES", "shape": [-1]}]
    outputs = {output["name"]: output["datatype"] for output in model["outputs"]}
    assert outputs == {
        TASK: "FP64",
        f"{TASK}.lower": "FP64",
        f"{TASK}.upper": "FP64",
        f"{TASK}.inside": "BOOL",
        "error": "BYTES",
    }


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("taken", [True, False, None])
def test_values_and_errors_come_back_in_place(
    client: Any,  # noqa: ANN401 - untyped
    sent: bool,
    taken: bool | None,
) -> None:
    names = (TASK, f"{TASK}.lower", f"{TASK}.inside", "error")
    wanted = None if taken is None else [InferRequestedOutput(n, binary_data=taken) for n in names]
    result = client.infer("onggi", [_input(SMILES, binary=sent)], "3", wanted, request_id="q-7")
    np.testing.assert_equal(result.as_numpy(TASK), [1.5, np.nan, 1.5])
    assert np.isnan(result.as_numpy(f"{TASK}.lower")).all()  # this release has no calibration
    assert result.as_numpy(f"{TASK}.inside").tolist() == [False] * 3
    errors = [text if isinstance(text, str) else text.decode() for text in result.as_numpy("error")]
    assert errors[0] == errors[2] == ""
    assert errors[1].startswith("parse: ")
    said = result.get_response()
    assert (said["model_name"], said["model_version"], said["id"]) == ("onggi", "3", "q-7")


def test_a_large_call_and_its_parameters_come_back(client: Any) -> None:  # noqa: ANN401 - untyped
    many = [_input(["CCO" + "C" * (n % 40) for n in range(3000)], binary=True, deep=True)]
    wanted = [InferRequestedOutput(TASK)]
    result = client.infer("onggi", many, outputs=wanted, parameters={"who": "me", "n": 3})
    assert result.as_numpy(TASK).shape == (3000, 1)
    assert (result.as_numpy(TASK) == 1.5).all()
    assert result.get_response()["parameters"] == {"who": "me", "n": 3, "release": "r1"}
    assert [output["name"] for output in result.get_response()["outputs"]] == [TASK]
    nothing = client.infer("onggi", [_input([], binary=True)])
    assert nothing.as_numpy(TASK).shape == (0,)


def test_what_is_not_there_is_an_error_with_a_sentence(client: Any) -> None:  # noqa: ANN401 - untyped
    given = [_input(SMILES, binary=True)]
    with pytest.raises(InferenceServerException, match=r"\[422\] The release has no such output"):
        client.infer("onggi", given, outputs=[InferRequestedOutput("none")])
    with pytest.raises(InferenceServerException, match=r"\[422\] classification is not offered"):
        client.infer("onggi", given, outputs=[InferRequestedOutput(TASK, class_count=2)])
    with pytest.raises(InferenceServerException, match=r"\[404\] That version is not loaded"):
        client.infer("onggi", given, "9")
    with pytest.raises(InferenceServerException, match=r"\[404\] See /openapi.json"):
        client.get_model_metadata("other")


def test_json_alone_is_enough(predict: Predict) -> None:
    data = [["CCO"], ["no"]]
    tensor = {"name": "SMILES", "shape": [2, 1], "datatype": "BYTES", "data": data}
    status, said = predict.ask("POST", "/v2/models/onggi/infer", {"inputs": [tensor]})
    assert status == 200
    columns = {output["name"]: output["data"] for output in said["outputs"]}
    assert (columns[TASK], columns[f"{TASK}.inside"]) == ([1.5, None], [False, False])
    assert said["outputs"][0]["shape"] == [2, 1]


def test_a_wrong_length_of_the_json_is_refused(predict: Predict) -> None:
    connection = HTTPConnection("127.0.0.1", predict.status()["port"])
    for length in ("-1", "1e3", "999999999999", "0", "²"):
        headers = {"Inference-Header-Content-Length": length.encode()}
        connection.request("POST", "/v2/models/onggi/infer", b'{"inputs": []}', headers)
        response = connection.getresponse()
        problem = json.loads(response.read())
        assert (response.status, problem["code"]) == (422, "malformed")
        assert problem["error"] == problem["detail"]
    connection.close()
