/// Memory of large results. What a call leaves is kept for the next one, as the system takes longer to clear new pages than
/// most losses take to fill them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "arrays.hpp"

namespace ndloss::binding {

/// Blocks that arrays have left, up to a limit. Where the system can, it is told that it may take their pages when it is short
/// of memory.
class ResultMemory {
 public:
  /// Blocks are cut for results from here on; smaller ones are NumPy's.
  static constexpr std::size_t smallest = std::size_t{1} << 20U;
  static constexpr std::size_t limit_at_first = std::size_t{256} << 20U;

  /// A block of at least so many bytes at a multiple of 64, of any content; null if there is no memory.
  [[nodiscard]] void* take(std::size_t bytes) noexcept;

  /// Keeps a block for later, or gives it back to the system.
  void leave(void* data) noexcept;

  /// The bytes that a block has.
  [[nodiscard]] static std::size_t capacity(void* data) noexcept;

  [[nodiscard]] std::size_t limit();
  [[nodiscard]] std::size_t kept();
  void set_limit(std::size_t bytes);

  /// Gives back all that is kept.
  void empty() noexcept;

 private:
  friend ResultMemory& result_memory();

  void shrink_to(std::size_t bytes) noexcept;

  std::mutex mutex_;
  std::vector<void*> blocks_;  // the last one was left last
  std::size_t kept_ = 0;
  std::size_t limit_ = limit_at_first;
};

/// The one of this process. Arrays may outlive whatever a module ends with, so it has no end.
[[nodiscard]] ResultMemory& result_memory();

/// A new C-contiguous array for a result. `descr` is stolen. Null: an error is set.
[[nodiscard]] PyObject* new_result(PyObject* descr, std::int64_t item_size, int ndim, const Py_ssize_t* shape);

}  // namespace ndloss::binding
