"""Experiments whose results were published, run again with our methods.

    fedgen     FedAvg and FedProx on MNIST as FedGen (Zhu et al. 2021) ran them
    har        FedMD and FedAKD on the windows of UCI HAR
    jeong      FD of two devices on MNIST (Jeong et al. 2018)
    cfd        labels of one bit against probabilities (Sattler et al. 2022)
    alu        exchanges made rarer (Wu et al. 2023)

Beside them:

    experiment  what an experiment is: cells, a scenario for each, claims, panels
    cells       runs cells, each once
    summary     claims, tables and pictures of what was run
    figure      draws panels
    partition   FedGen's division of MNIST over users
    students    the nets of the papers

Every protocol was fixed before it was first run to its end; docs/published.md
says what was chosen where a paper is silent.
"""
