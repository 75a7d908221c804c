from fastapi import FastAPI

from agent.serving.bodies import PredictRequest
from agent.serving.schemas import complete, inlined
from agent.serving.tensors import InferRequest


def test_a_schema_comes_in_one_piece() -> None:
    for model in (PredictRequest, InferRequest):
        assert "$ref" not in str(inlined(model))
        assert "$defs" not in str(inlined(model))


def test_what_may_be_null_may_be_left_out() -> None:
    schema = inlined(PredictRequest)
    assert schema["oneOf"] == [{"required": ["smiles"]}, {"required": ["structures"]}]
    assert "null" not in str(schema)
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert isinstance(properties["structures"], dict)
    assert properties["structures"]["type"] == "array"


def test_a_token_may_be_shown_on_every_route() -> None:
    app = FastAPI()
    complete(app)
    for _ in range(2):  # the document is made once
        document = app.openapi()
        assert document["security"] == [{}, {"token": []}]
        assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
