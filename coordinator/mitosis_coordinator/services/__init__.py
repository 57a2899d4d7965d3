"""Use cases: who may do what, one unit of work each. Knows neither protobuf nor the driver."""
