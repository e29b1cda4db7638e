"""The search of heads: Optuna studies, what proposes, prunes and trains, and what MLflow shows of them."""
