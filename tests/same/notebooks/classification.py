# %% [markdown]
# A classifier from raw measurements to an accuracy, scaled in place as many tutorials do.

# %%
import numpy as np
import pandas as pd
from sklearn import set_config
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

set_config(transform_output="pandas")

# %%
cancer = load_breast_cancer(as_frame=True)
X, y = cancer.data.copy(), cancer.target
X.shape, y.mean().round(3)

# %%
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=1, stratify=y)
print(len(X_train), "to learn from,", len(X_test), "to test")

# %%
scaler = StandardScaler()
scaled = scaler.fit_transform(X_train)
type(scaled).__name__, scaled.iloc[:3, :2]

# %%
center, width = X_train.mean(), X_train.std()

# %%
X_train[:] = (X_train - center) / width
X_test[:] = (X_test - center) / width

# %%
neighbours = KNeighborsClassifier(5).fit(X_train, y_train)
accuracy = accuracy_score(y_test, neighbours.predict(X_test))
print(f"accuracy {accuracy:.4f}")

# %%
confusion_matrix(y_test, neighbours.predict(X_test))

# %%
model = LogisticRegression(max_iter=2000)

# %%
model.fit(X_train, y_train)
model.score(X_test, y_test)

# %%
model.coef_[0, :4].round(3)

# %%
pipeline = Pipeline([("scale", StandardScaler()), ("fit", LogisticRegression(max_iter=2000))])
search = GridSearchCV(pipeline, {"fit__C": [0.1, 1, 10]}, cv=3)
search.fit(X, y);

# %%
search.best_params_, round(search.best_score_, 4)

# %%
pd.DataFrame(search.cv_results_)[["param_fit__C", "mean_test_score"]]

# %%
first = list(X.columns[:3])
half = ColumnTransformer([("first", StandardScaler(), first)], verbose_feature_names_out=False)
half.fit_transform(X).agg(["mean", "std"]).round(2)

# %%
scores = {}
for k in (1, 3, 9):
    scores[k] = KNeighborsClassifier(k).fit(X_train, y_train).score(X_test, y_test)
max(scores, key=scores.get)

# %%
scores[15] = make_pipeline(StandardScaler(), KNeighborsClassifier(15)).fit(X, y).score(X, y)
scores.pop(1)
sorted(scores)

# %%
LogisticRegression().predict(X_test)
