/// Turning a tile of contiguous rows into classes of adjacent rows, in registers.
///
/// Vector types of the compiler rather than plain loops: a loop of strided loads costs two instructions an element, which is
/// more than all the rest of a short row's packing.
#pragma once

#include <cstddef>
#include <cstring>
#include <utility>

#include "ndloss/inline.hpp"
#include "ndloss/streamed.hpp"
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
  static constexpr int half = vector_bytes == 32 ? width / 2 : width;  // shuffled by itself
  typedef T type __attribute__((vector_size(vector_bytes)));
  typedef T Half __attribute__((vector_size(half * sizeof(T))));
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

/// One stage of the transposition of a square of rows, or of two squares side by side, and all finer ones.
template <class T, int Step, int Rows = Vector<T>::width>
NDLOSS_INLINE void transpose_square(typename Vector<T>::type* row) {
  constexpr std::make_index_sequence<static_cast<std::size_t>(Vector<T>::width)> all{};
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    if (r / Step % 2 == 0) {
      const auto a = row[r];
      const auto b = row[r + Step];
      row[r] = mixed<T, Step, false>(a, b, all);
      row[r + Step] = mixed<T, Step, true>(a, b, all);
    }
  }
  if constexpr (Step > 1) {
    transpose_square<T, Step / 2, Rows>(row);
  }
}

/// A vector of the numbers at `from`, or of halves `apart` numbers apart.
template <class T, int Count>
NDLOSS_INLINE typename Vector<T>::type read_vector(const T* from, std::ptrdiff_t apart) {
  if constexpr (Count == Vector<T>::width) {
    typename Vector<T>::type whole;
    std::memcpy(&whole, from, sizeof whole);
    return whole;
  } else {
    typename Vector<T>::Half low;
    typename Vector<T>::Half high;
    std::memcpy(&low, from, sizeof low);
    std::memcpy(&high, from + apart, sizeof high);
    return [&]<std::size_t... J>(std::index_sequence<J...> /*lanes*/) __attribute__((always_inline)) {
      return __builtin_shufflevector(low, high, static_cast<int>(J)...);
    }(std::make_index_sequence<static_cast<std::size_t>(Vector<T>::width)>{});
  }
}

/// `Count` classes, a vector's width or half of it, of `tile_rows` rows.
template <class T, int Count>
NDLOSS_INLINE void transpose_classes(const T* from, std::ptrdiff_t row_stride, T* to, std::ptrdiff_t to_stride) {
  for (int first = 0; first < tile_rows; first += Vector<T>::width) {
    typename Vector<T>::type row[Count];
#pragma GCC unroll 8
    for (int r = 0; r < Count; ++r) {
      row[r] = read_vector<T, Count>(from + (first + r) * row_stride, Count * row_stride);
    }
    transpose_square<T, Count / 2, Count>(row);
#pragma GCC unroll 8
    for (int r = 0; r < Count; ++r) {
      std::memcpy(to + r * to_stride + first, &row[r], sizeof row[r]);
    }
  }
}

/// The way back.
template <class T, int Count>
NDLOSS_INLINE void transpose_classes_back(const T* from, T* to, std::ptrdiff_t row_stride) {
  for (int first = 0; first < tile_rows; first += Vector<T>::width) {
    typename Vector<T>::type row[Count];
#pragma GCC unroll 8
    for (int r = 0; r < Count; ++r) {
      std::memcpy(&row[r], from + r * tile_rows + first, sizeof row[r]);
    }
    transpose_square<T, Count / 2, Count>(row);
#pragma GCC unroll 8
    for (int r = 0; r < Count; ++r) {
      for (int h = 0; h < Vector<T>::width / Count; ++h) {
        const char* const piece = reinterpret_cast<const char*>(&row[r]) + h * Count * static_cast<int>(sizeof(T));
        std::memcpy(to + (first + h * Count + r) * row_stride, piece, Count * sizeof(T));
      }
    }
  }
}

/// Calls turn.template operator()<Count>(c) for groups of classes, the last of which may overlap the one before. There are at
/// least half a vector of them.
template <class T, class Turn>
NDLOSS_INLINE void in_groups(std::ptrdiff_t classes, const Turn& turn) {
  constexpr int width = Vector<T>::width;
  constexpr int half = Vector<T>::half;
  std::ptrdiff_t c = 0;
  for (; c + width <= classes; c += width) {
    turn.template operator()<width>(c);
  }
  if (c > 0 && classes - c > half) {
    turn.template operator()<width>(classes - width);
    return;
  }
  for (; c < classes; c += half) {
    turn.template operator()<half>(c + half <= classes ? c : classes - half);
  }
}

/// `tile_rows` rows of adjacent classes, `row_stride` numbers apart, to classes of tile_rows adjacent numbers, `to_stride`
/// apart.
template <class T>
void transpose(const T* from, std::ptrdiff_t row_stride, std::ptrdiff_t classes, T* to, std::ptrdiff_t to_stride) {
  if (classes < Vector<T>::half) {
    for (std::ptrdiff_t c = 0; c < classes; ++c) {
      for (int r = 0; r < tile_rows; ++r) {
        to[c * to_stride + r] = from[r * row_stride + c];
      }
    }
    return;
  }
  in_groups<T>(classes, [=]<int Count>(std::ptrdiff_t c) __attribute__((always_inline)) {
    transpose_classes<T, Count>(from + c, row_stride, to + c * to_stride, to_stride);
  });
}

/// The way back: classes of tile_rows adjacent numbers to rows of adjacent classes.
template <class T>
void transpose_back(const T* from, std::ptrdiff_t classes, T* to, std::ptrdiff_t row_stride) {
  if (classes < Vector<T>::half) {
    for (int r = 0; r < tile_rows; ++r) {
      for (std::ptrdiff_t c = 0; c < classes; ++c) {
        to[r * row_stride + c] = from[c * tile_rows + r];
      }
    }
    return;
  }
  in_groups<T>(classes, [=]<int Count>(std::ptrdiff_t c) __attribute__((always_inline)) {
    transpose_classes_back<T, Count>(from + c * tile_rows, to + c, row_stride);
  });
}

/// The way back to rows without gaps, past the caches by way of `room`, which begins a line and holds one more than the tile.
template <class T>
NDLOSS_INLINE void stream_back(const T* from, std::ptrdiff_t classes, T* room, T* to) {
  T* const rows = alike(room, to);
  transpose_back(from, classes, rows, classes);
  stream_numbers(rows, to, tile_rows * classes);
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
