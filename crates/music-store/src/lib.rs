//! The two ports of MUSIC, state store and lock store, and the engines behind them.
