/// How many threads a call uses. An explicit number beats the context of the calling thread, which beats the process-wide
/// number, `NDLOSS_NUM_THREADS`, and OpenMP's own maximum within what affinity and cgroup allow.
#pragma once

#include <string>

namespace ndloss {

/// The number a call would use by default on this thread.
[[nodiscard]] int get_num_threads();

/// Sets the number for the whole process; 0 returns to the default. Throws std::invalid_argument below 0.
void set_num_threads(int threads);

/// Sets the number for the calling thread alone; 0 removes it. Returns what it was.
int set_local_num_threads(int threads);

/// The OpenMP runtime and version this build uses, or "none".
[[nodiscard]] std::string openmp_runtime();

}  // namespace ndloss
