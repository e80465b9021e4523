import time


def test_a(finished_site):
    print(finished_site.first_run)
    import subprocess

    print(
        subprocess.run(["find", str(finished_site.workdir)], capture_output=True, text=True).stdout
    )


def test_b(finished, days):
    t = time.process_time()
    w = time.time()
    print(finished.run("run_daily", f"--date={days[2]}"))
    print("same", time.process_time() - t, time.time() - w)
    t = time.process_time()
    w = time.time()
    print(finished.run("run_daily", f"--date={days[3]}"))
    print("next", time.process_time() - t, time.time() - w)
    for job in ("evaluate", "build_index", "train"):
        t = time.process_time()
        w = time.time()
        print(finished.run(job, f"--date={days[3]}"))
        print(job, time.process_time() - t, time.time() - w)
    t = time.process_time()
    w = time.time()
    print(finished.run("recommend", "--user_id=u1"))
    print("rec", time.process_time() - t, time.time() - w)
