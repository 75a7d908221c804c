"""Names of the compound sets of `/v1/percentiles`, which predict and its workers share."""

APPROVED_DRUGS, OWN_COMPOUNDS = "approved_drugs", "own_compounds"
