# %% [markdown]
# Regression with formulas, on tables that come with statsmodels.

# %%
import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf

# %%
longley = sm.datasets.longley.load_pandas().data
longley.columns = longley.columns.str.lower()
longley.head(3)

# %%
model = smf.ols("totemp ~ gnp + unemp + armed", data=longley)
fit = model.fit()
fit.params.round(3)

# %%
fit.summary().tables[1]

# %%
print(f"R2 {fit.rsquared:.4f}, F {fit.fvalue:.1f}")


# %%
def per_thousand(column):
    return column / 1000


# %%
scaled = smf.ols("per_thousand(totemp) ~ np.log(gnp) + per_thousand(pop)", data=longley).fit()
scaled.params

# %%
knot = 1955
late = smf.ols("totemp ~ year + np.maximum(year - knot, 0)", data=longley).fit()
late.pvalues.round(4)

# %%
longley["trend"] = np.arange(len(longley))
longley.eval("share = unemp / totemp", inplace=True)
longley[["trend", "share"]].tail(2)

# %%
limit = 65_000
longley.query("totemp > @limit").shape

# %%
fair = sm.datasets.fair.load_pandas().data.sample(500, random_state=1)
fair["any"] = (fair["affairs"] > 0).astype(int)
logit = smf.logit("any ~ age + yrs_married + C(rate_marriage)", data=fair).fit(disp=0)
logit.params.round(4)

# %%
logit.predict(fair.head(4)).round(4)

# %%
smf.ols("totemp ~ gnp_per_head", data=longley).fit()

# %%
by_occupation = fair.groupby("occupation")["any"].agg(["mean", "size"])
by_occupation.style.format({"mean": "{:.2f}"}).to_html()[:6]

# %%
residuals = fit.resid
sm.stats.durbin_watson(residuals), round(sm.stats.jarque_bera(residuals)[1], 5)

# %%
rng = np.random.default_rng(12)
draws = pd.DataFrame(
    [smf.ols("totemp ~ gnp", longley.iloc[rng.integers(len(longley), size=len(longley))]).fit().params for _ in range(20)]
)
draws.std().round(4)
