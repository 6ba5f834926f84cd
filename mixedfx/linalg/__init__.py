"""Arrays only: block elimination of the mixed-model equations, whatever the model behind them."""
