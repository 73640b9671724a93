/// Storing: numbers of the compute type to an array of any floating type, layout and byte order. The way back of packing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layout.hpp"
#include "ndloss/streamed.hpp"
#include "ndloss/views.hpp"

namespace ndloss {

/// `count` numbers, `step` apart, to elements of an array, `stride` bytes apart, the first of them at `to`.
template <class T>
void store_numbers(const T* from, std::ptrdiff_t step, std::int64_t count, const Strided& array, char* to, std::int64_t stride);

/// Numbers to the elements [begin, begin + count) of an output.
template <class T>
void store_block(const Output& output, std::int64_t begin, std::int64_t count, const T* from);

/// Zeros for every element of an output.
void clear(const Output& output);

/// From how many bytes on results go past the caches, where kernels can: they would not be there any more when they are read.
inline constexpr std::int64_t streamed_bytes = std::int64_t{32} << 20U;

/// Where a block's results go: into the output itself where that can be, else through scratch.
template <class T>
class Writer {
 public:
  /// `origin`: the element that an output for a part of the call begins with.
  Writer(const Output& output, std::int64_t origin)
      : output_(output),
        origin_(output.layout == nullptr ? origin : 0),
        in_place_(output.layout == nullptr && output.dtype == dtype_of<T>()) {}

  /// Blocks of scratch it needs.
  [[nodiscard]] std::int64_t slots() const { return output_.wanted() && !in_place_ ? 1 : 0; }

  /// Whether kernels that store into the output itself may store past the caches.
  [[nodiscard]] bool streams() const {
    return in_place_ && output_.size >= streamed_bytes / static_cast<std::int64_t>(sizeof(T)) &&
           reinterpret_cast<std::uintptr_t>(output_.data) % stream_alignment == 0;
  }

  [[nodiscard]] T* begin(std::int64_t position, T* numbers) const {
    return output_.wanted() && in_place_ ? static_cast<T*>(output_.data) + (position - origin_) : numbers;
  }

  void end(std::int64_t position, std::int64_t count, const T* numbers) const {
    if (output_.wanted() && !in_place_) {
      store(position, count, numbers);
    }
  }

  void store(std::int64_t position, std::int64_t count, const T* numbers) const {
    store_block(output_, position - origin_, count, numbers);
  }

 private:
  Output output_;
  std::int64_t origin_;
  bool in_place_;
};

}  // namespace ndloss
