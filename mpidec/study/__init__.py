"""Studies: methods compared at settings that vary, each with the step size that suits it best there.

A study file (`file`) names the experiment, what varies, the step sizes to try and the laws to judge. `tuning` finds each
method's step size at each point by successive halving, `judging` reads the finished runs and says who is ahead where.
"""
