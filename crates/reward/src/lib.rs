//! What an answer is worth: rules, a judge, a command or a server of one's own. Shared by training and evaluation.
