"""A universal expert for a clustered method, in one line; and what it did, before and after distillation.

The same host runs twice on the handwritten digits: as it is, and with the expert put into its expert slot.
"""

from disue import Distil, clustered, run, with_expert

host = clustered(k=4)
method = with_expert(host, Distil())  # the one line; Distil("generator") takes the other family

SPEC = {
    "rounds": 12,
    "partition": {"kind": "dirichlet", "clients": 20, "alpha": 0.1},
    "cohort": {"share": 0.5},
    "local": {"batch": 32, "clip": 10.0},
    "evaluate": {"every": 3},
}
# The same two methods as tables of a spec, for a run with a folder, a report and `resume`.
HOST = {"name": "clustered", "k": 4}
WITH_EXPERT = {**HOST, "expert": {"kind": "distil"}}


def show(record):
    if record.evaluated and "expert_global" in record.row:
        row = record.row
        print(
            f"round {record.round:2d}   average {row['average_global']:5.1f}   expert {row['expert_global']:5.1f}"
            f"   effect of the distillation {row['expert_effect']:+5.1f}"
        )


def main():
    print(f"host:        {type(host.start).__name__}, expert {type(host.expert).__name__}")
    print(f"with expert: {type(method.start).__name__}, expert {type(method.expert).__name__}")
    plain = run({**SPEC, "method": HOST})["metrics"]
    print("\naccuracy in % on the global test set, averaged model before and expert after distillation")
    expert = run({**SPEC, "method": WITH_EXPERT}, on_round=show)["metrics"]
    before, after = plain["served_global"]["last10"], expert["served_global"]["last10"]
    print(f"\nwhat clients receive, mean of the last rounds: {before:.1f} without, {after:.1f} with the expert")
    print("One seed on a small data set: an example, not evidence.")
    return plain, expert


if __name__ == "__main__":
    main()
