# %% [markdown]
# A club that splits and the people of a novel: two graphs that come with networkx.

# %%
import networkx as nx
import numpy as np
from collections import Counter, defaultdict

# %%
club = nx.karate_club_graph()
club.number_of_nodes(), club.number_of_edges()

# %%
degrees = dict(club.degree())
sorted(degrees, key=degrees.get, reverse=True)[:3]

# %%
nx.set_node_attributes(club, nx.pagerank(club), "rank")
round(club.nodes[0]["rank"], 4)

# %%
club.add_edge("guest", 0, weight=1)
club.graph["name"] = "Zachary and a guest"
print(club)

# %%
club.remove_node("guest")
for node in club:
    club.nodes[node]["is_leader"] = degrees[node] > 12
[node for node, is_leader in club.nodes(data="is_leader") if is_leader]

# %%
novel = nx.les_miserables_graph()
parts = sorted(nx.community.greedy_modularity_communities(novel, weight="weight"), key=len)
[len(part) for part in parts]

# %%
nx.community.modularity(novel, parts)

# %%
visited = []


def walk(graph, start, steps, rng):
    """Go to a neighbour at random, and remember the way."""
    for _ in range(steps):
        visited.append(start)
        start = sorted(graph[start])[rng.integers(len(graph[start]))]
    return start


# %%
walk(novel, "Valjean", 50, np.random.default_rng(5))

# %%
Counter(visited).most_common(3)

# %%
distances = defaultdict(int)
for _, lengths in nx.all_pairs_shortest_path_length(club):
    for length in lengths.values():
        distances[length] += 1
dict(distances)

# %%
nx.shortest_path(novel, "Napoleon", "Gavroche")

# %%
nx.shortest_path(novel, "Napoleon", "Quasimodo")

# %%
tree = nx.minimum_spanning_tree(club)
positions = nx.spring_layout(tree, seed=3)
np.array([positions[node] for node in range(3)]).round(3)

# %%
A = nx.to_numpy_array(club, weight=None)
np.linalg.eigvalsh(A)[-2:].round(4)
