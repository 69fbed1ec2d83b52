"""Answers to the five slots that two or more methods use."""
