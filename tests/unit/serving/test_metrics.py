from agent.serving.metrics import Metrics


def test_counts_and_the_release_are_rendered() -> None:
    metrics = Metrics()
    metrics.request("/v1/predict", 200)
    metrics.request("/v1/predict", 200)
    metrics.predicted(5, 2, 0.02)
    text = metrics.render("r1", 1).decode()
    assert 'onggi_predict_requests_total{route="/v1/predict",status="200"} 2.0' in text
    assert 'onggi_predict_molecules_total{outcome="predicted"} 5.0' in text
    assert 'onggi_predict_molecules_total{outcome="refused"} 2.0' in text
    assert "onggi_predict_seconds_count 1.0" in text
    assert 'onggi_predict_release_info{release="r1",version="1"} 1.0' in text


def test_only_the_release_that_answers_is_named() -> None:
    metrics = Metrics()
    metrics.render("r1", 1)
    assert 'release="r1"' not in metrics.render("r2", 2).decode()
    assert "release=" not in metrics.render(None, None).decode()


def test_two_apps_in_one_process_do_not_share_figures() -> None:
    Metrics().request("/healthz", 200)
    assert "/healthz" not in Metrics().render(None, None).decode()
