// Thread counts, the parallel loop, and what a fork does to them.
#include "ndloss/threads.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "parallel.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif
#include <pthread.h>

namespace ndloss {
namespace {

std::atomic<int> process_threads{0};
thread_local int local_threads = 0;

// libgomp's pool does not survive a fork: a region in the child waits for threads that are gone. A child is serial unless it
// asks for a number; then the region runs on a thread of its own, which gets a fresh pool.
std::atomic<bool> forked{false};

void mark_forked() { forked.store(true, std::memory_order_relaxed); }

[[maybe_unused]] const int fork_handler = pthread_atfork(nullptr, nullptr, mark_forked);

/// `NDLOSS_NUM_THREADS`, 0 if it is not a positive number.
int environment_threads() {
  static const int threads = [] {
    const char* text = std::getenv("NDLOSS_NUM_THREADS");
    int value = 0;
    if (text != nullptr) {
      const char* end = text + std::strlen(text);
      if (const auto read = std::from_chars(text, end, value); read.ptr != end || read.ec != std::errc()) {
        return 0;
      }
    }
    return std::max(value, 0);
  }();
  return threads;
}

/// The processors that a cgroup's quota amounts to, rounded up; 0 without a quota.
int quota_of(const std::string& folder) {
  std::ifstream v2(folder + "/cpu.max");
  double quota = 0;
  double period = 0;
  if (v2 >> quota >> period && quota > 0 && period > 0) {
    return static_cast<int>(std::ceil(quota / period));
  }
  std::ifstream v1_quota(folder + "/cpu.cfs_quota_us");
  std::ifstream v1_period(folder + "/cpu.cfs_period_us");
  if (v1_quota >> quota && v1_period >> period && quota > 0 && period > 0) {
    return static_cast<int>(std::ceil(quota / period));
  }
  return 0;
}

/// The least quota on the way from this process's cgroup to the root.
[[maybe_unused]] int cgroup_threads() {
  static const int threads = [] {
    int least = 0;
    const auto take = [&](int quota) {
      if (quota > 0 && (least == 0 || quota < least)) {
        least = quota;
      }
    };
    std::ifstream groups("/proc/self/cgroup");
    std::string line;
    while (std::getline(groups, line)) {
      const std::size_t first = line.find(':');
      const std::size_t second = line.find(':', first + 1);
      if (second == std::string::npos) {
        continue;
      }
      const std::string controllers = line.substr(first + 1, second - first - 1);
      std::string path = line.substr(second + 1);
      const std::string root = controllers.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controllers;
      if (!controllers.empty() && controllers.find("cpu") == std::string::npos) {
        continue;
      }
      while (true) {
        take(quota_of(root + path));
        const std::size_t slash = path.find_last_of('/');
        if (slash == std::string::npos || path.size() <= 1) {
          break;
        }
        path.resize(slash == 0 ? 0 : slash);
      }
    }
    take(quota_of("/sys/fs/cgroup"));
    return least;
  }();
  return threads;
}

[[maybe_unused]] int affinity_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

/// What was asked for explicitly, 0 if nothing was.
int explicit_threads(int requested) {
  if (requested > 0) {
    return requested;
  }
  if (local_threads > 0) {
    return local_threads;
  }
  const int process = process_threads.load(std::memory_order_relaxed);
  return process > 0 ? process : environment_threads();
}

int default_threads() {
#ifdef _OPENMP
  int threads = omp_get_max_threads();
  for (const int limit : {affinity_threads(), cgroup_threads()}) {
    if (limit > 0) {
      threads = std::min(threads, limit);
    }
  }
  return std::max(threads, 1);
#else
  return 1;
#endif
}

int resolve_threads(int requested) {
  const int asked = explicit_threads(requested);
  if (asked > 0) {
    return asked;
  }
  return forked.load(std::memory_order_relaxed) ? 1 : default_threads();
}

/// Work, in nanoseconds of one thread, that a parallel region is worth.
constexpr std::int64_t region_worth = 200'000;

#ifdef _OPENMP
void run_region(std::int64_t tasks, int threads, void (*body)(void*, std::int64_t, int), void* context) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (std::int64_t task = 0; task < tasks; ++task) {
    body(context, task, omp_get_thread_num());
  }
}
#endif

}  // namespace

int get_num_threads() { return resolve_threads(0); }

void set_num_threads(int threads) {
  if (threads < 0) {
    throw std::invalid_argument("set_num_threads: threads must be at least 0, got " + std::to_string(threads));
  }
  process_threads.store(threads, std::memory_order_relaxed);
}

int set_local_num_threads(int threads) {
  const int before = local_threads;
  local_threads = std::max(threads, 0);
  return before;
}

std::string openmp_runtime() {
#ifdef _OPENMP
  return "OpenMP " + std::to_string(_OPENMP);
#else
  return "none";
#endif
}

int threads_for(std::int64_t work, int requested) {
  if (work < region_worth) {
    return 1;
  }
#ifdef _OPENMP
  if (omp_in_parallel() != 0) {
    return 1;
  }
#endif
  return resolve_threads(requested);
}

void parallel_for(std::int64_t tasks, [[maybe_unused]] int threads, void (*body)(void*, std::int64_t, int), void* context) {
#ifdef _OPENMP
  if (threads > 1 && tasks > 1) {
    if (forked.load(std::memory_order_relaxed)) {
      std::thread([&] { run_region(tasks, threads, body, context); }).join();
    } else {
      run_region(tasks, threads, body, context);
    }
    return;
  }
#endif
  for (std::int64_t task = 0; task < tasks; ++task) {
    body(context, task, 0);
  }
}

}  // namespace ndloss
