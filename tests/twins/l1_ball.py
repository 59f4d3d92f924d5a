"""The projection onto an L1 ball: Duchi et al. 2008, figure 1, line by line."""


def project(v: list[float], z: float) -> list[float]:
    if sum(abs(value) for value in v) <= z:
        return list(v)
    mu = sorted((abs(value) for value in v), reverse=True)
    rho = 0
    for j in range(1, len(mu) + 1):
        if mu[j - 1] - (sum(mu[:j]) - z) / j > 0:
            rho = j
    theta = (sum(mu[:rho]) - z) / rho
    return [(1 if value > 0 else -1) * max(abs(value) - theta, 0.0) for value in v]
