"""Trains a fraud model on features as they stood at the instant of each payment.

    python train.py --project features --labels payments.parquet --model fraud.joblib

The labels are payments of which it is known by now whether they were fraud: `tx_id`, `tx_time`,
`customer_id`, `terminal_id`, `amount`, `is_fraud`. Each is left out of its own features, as it will
not be in them yet when it has to be judged.
"""

import argparse

import joblib
import pandas
from pandas.api.types import is_numeric_dtype
from sklearn.ensemble import RandomForestClassifier

from tiderace import get_historical_features


def main() -> None:
    """Makes a training set, fits a model to it, and writes the model."""
    parser = argparse.ArgumentParser(description="Train a fraud model.")
    parser.add_argument("--project", default="features", help="the folder with the definitions")
    parser.add_argument("--labels", required=True, help="a Parquet file of judged payments")
    parser.add_argument("--model", default="fraud.joblib", help="where the model goes")
    arguments = parser.parse_args()

    labels = pandas.read_parquet(arguments.labels)
    training = get_historical_features(
        labels, "fraud_v1", project=arguments.project, timestamp="tx_time", exclude="tx_id"
    )
    features = training.columns[len(labels.columns) :]
    inputs = [name for name in features if is_numeric_dtype(training[name])]
    model = RandomForestClassifier(n_estimators=50, min_samples_leaf=5, random_state=1)
    model.fit(training[inputs], training["is_fraud"])
    joblib.dump(model, arguments.model)
    print(f"{len(training)} payments, {len(inputs)} inputs: {arguments.model}")


if __name__ == "__main__":
    main()
