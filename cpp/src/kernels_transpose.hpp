/// Turning a tile of contiguous rows into classes of adjacent rows, in registers.
///
/// Vector types of the compiler rather than plain loops: a loop of strided loads costs two instructions an element, which is
/// more than all the rest of a short row's packing.
#pragma once

#include <cstddef>
#include <cstring>
#include <utility>

#include "ndloss/inline.hpp"
#include "softmax_tile.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

#ifdef __AVX__
inline constexpr std::size_t vector_bytes = 32;
#else
inline constexpr std::size_t vector_bytes = 16;
#endif

template <class T>
struct Vector {
  static constexpr int width = static_cast<int>(vector_bytes / sizeof(T));
  typedef T type __attribute__((vector_size(vector_bytes)));
};

/// Where element j of the first or second result of a stage comes from: blocks of `step` elements are swapped between two rows.
constexpr int source(int width, int step, bool second, int j) {
  const bool odd = (j / step) % 2 == 1;
  if (second) {
    return odd ? width + j : j + step;
  }
  return odd ? width + j - step : j;
}

template <class T, int Step, bool Second, std::size_t... J>
NDLOSS_INLINE auto mixed(typename Vector<T>::type a, typename Vector<T>::type b, std::index_sequence<J...> /*lanes*/) {
  return __builtin_shufflevector(a, b, source(Vector<T>::width, Step, Second, static_cast<int>(J))...);
}

/// One stage of the transposition of a square of rows, and all finer ones.
template <class T, int Step>
NDLOSS_INLINE void transpose_square(typename Vector<T>::type* row) {
  constexpr int width = Vector<T>::width;
  constexpr std::make_index_sequence<static_cast<std::size_t>(width)> all{};
#pragma GCC unroll 8
  for (int r = 0; r < width; ++r) {
    if (r / Step % 2 == 0) {
      const auto a = row[r];
      const auto b = row[r + Step];
      row[r] = mixed<T, Step, false>(a, b, all);
      row[r + Step] = mixed<T, Step, true>(a, b, all);
    }
  }
  if constexpr (Step > 1) {
    transpose_square<T, Step / 2>(row);
  }
}

/// `tile_rows` rows of adjacent classes, `row_stride` numbers apart, to classes of tile_rows adjacent numbers, `to_stride`
/// apart.
template <class T>
void transpose(const T* from, std::ptrdiff_t row_stride, std::ptrdiff_t classes, T* to, std::ptrdiff_t to_stride) {
  constexpr int width = Vector<T>::width;
  if (classes < width) {
    for (std::ptrdiff_t c = 0; c < classes; ++c) {
      for (int r = 0; r < tile_rows; ++r) {
        to[c * to_stride + r] = from[r * row_stride + c];
      }
    }
    return;
  }
  for (std::ptrdiff_t done = 0; done < classes; done += width) {
    const std::ptrdiff_t c = done + width <= classes ? done : classes - width;  // the last square overlaps the one before
    for (int first = 0; first < tile_rows; first += width) {
      typename Vector<T>::type row[width];
#pragma GCC unroll 8
      for (int r = 0; r < width; ++r) {
        std::memcpy(&row[r], from + (first + r) * row_stride + c, sizeof row[r]);
      }
      transpose_square<T, width / 2>(row);
#pragma GCC unroll 8
      for (int r = 0; r < width; ++r) {
        std::memcpy(to + (c + r) * to_stride + first, &row[r], sizeof row[r]);
      }
    }
  }
}

/// The way back: classes of tile_rows adjacent numbers to rows of adjacent classes.
template <class T>
void transpose_back(const T* from, std::ptrdiff_t classes, T* to, std::ptrdiff_t row_stride) {
  constexpr int width = Vector<T>::width;
  if (classes < width) {
    for (int r = 0; r < tile_rows; ++r) {
      for (std::ptrdiff_t c = 0; c < classes; ++c) {
        to[r * row_stride + c] = from[c * tile_rows + r];
      }
    }
    return;
  }
  for (int first = 0; first < tile_rows; first += width) {
    for (std::ptrdiff_t done = 0; done < classes; done += width) {
      const std::ptrdiff_t c = done + width <= classes ? done : classes - width;
      typename Vector<T>::type row[width];
#pragma GCC unroll 8
      for (int r = 0; r < width; ++r) {
        std::memcpy(&row[r], from + (c + r) * tile_rows + first, sizeof row[r]);
      }
      transpose_square<T, width / 2>(row);
#pragma GCC unroll 8
      for (int r = 0; r < width; ++r) {
        std::memcpy(to + (first + r) * row_stride + c, &row[r], sizeof row[r]);
      }
    }
  }
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
