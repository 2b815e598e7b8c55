import pytest

from kura.core.config import BrokerSettings, DatabaseSettings, ObjectStoreSettings, ServiceSettings
from kura.core.errors import ConfigError


class Settings(ServiceSettings, DatabaseSettings, BrokerSettings, ObjectStoreSettings):
    pass


GOOD = {"DATABASE_URL": "postgresql://kura@db/kura", "OBJECT_STORE": "s3://bucket"}


def test_every_bad_variable_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        Settings.from_env({"KURA_HTTP_PORT": "many", "KURA_LOG_LEVEL": "LOUD", "OBJECT_STORE": "ftp://x"})

    text = str(caught.value)
    assert all(name in text for name in ("KURA_HTTP_PORT", "KURA_LOG_LEVEL", "OBJECT_STORE", "DATABASE_URL"))


def test_a_value_that_was_refused_is_not_repeated_in_the_error():
    with pytest.raises(ConfigError) as caught:
        Settings.from_env({**GOOD, "KURA_DATABASE_POOL_SIZE": "s3cret-in-the-wrong-variable"})

    assert "s3cret" not in str(caught.value)


def test_the_documented_name_wins_over_its_older_spelling():
    settings = Settings.from_env({**GOOD, "KURA_LOG_LEVEL": "ERROR", "KOKU_LOG_LEVEL": "DEBUG"})

    assert settings.log_level == "ERROR"
    assert Settings.from_env({**GOOD, "KOKU_LOG_LEVEL": "DEBUG"}).log_level == "DEBUG"


def test_an_empty_variable_counts_as_missing():
    assert Settings.from_env({**GOOD, "KURA_HTTP_PORT": ""}).http_port == 0


def test_secrets_do_not_show_when_settings_are_printed():
    settings = Settings.from_env({**GOOD, "DATABASE_URL": "postgresql://kura:hidden@db/kura"})

    assert "hidden" not in repr(settings)


def test_settings_cannot_be_changed_after_the_start():
    settings = Settings.from_env(GOOD)

    with pytest.raises(Exception, match="frozen"):
        settings.http_port = 1  # type: ignore[misc]


def test_an_override_wins_over_the_environment():
    assert Settings.from_env({**GOOD, "KURA_HTTP_PORT": "80"}, http_port=8080).http_port == 8080


def test_every_variable_is_described():
    for field, info in Settings.model_fields.items():
        assert info.description, field
        assert info.validation_alias, field
