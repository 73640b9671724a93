/// A parallel loop that survives forks: the only place where threads begin.
#pragma once

#include <cstdint>

namespace ndloss {

/// How many threads a call with so much estimated work is to use: 1 below what a parallel region is worth.
[[nodiscard]] int threads_for(std::int64_t work, int requested);

/// Calls body(context, task, thread) for every task, in any order, `thread` below `threads`. The body must not throw.
void parallel_for(std::int64_t tasks, int threads, void (*body)(void* context, std::int64_t task, int thread), void* context);

template <class Body>
void parallel_for(std::int64_t tasks, int threads, Body& body) {
  parallel_for(
      tasks, threads, [](void* context, std::int64_t task, int thread) { (*static_cast<Body*>(context))(task, thread); },
      &body);
}

}  // namespace ndloss
