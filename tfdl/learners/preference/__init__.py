"""Learners from preferences and rewards: reward model, DPO, PPO, GRPO, and the answers that they are taught by."""
