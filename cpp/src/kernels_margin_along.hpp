/// Margin losses of long rows: one row at a time, lanes along the classes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels_label.hpp"
#include "kernels_margin_hinges.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

/// Classes that an along kernel holds in L1 at a time: whole runs.
inline constexpr std::ptrdiff_t margin_chunk = 2048;
static_assert(margin_chunk % (lanes * run) == 0);

template <MarginKind K, MarginJob J, int Number, class T>
NDLOSS_INLINE void observe_along(const T* x, T* slope, const MarginEdge<T>& edge, T times, std::ptrdiff_t c, int l,
                                 WideLanes<T>& values, SlopeLanes<power(K), T>& slopes) {
  const auto sum = pairwise<Number>([&](int k) __attribute__((always_inline)) {
    const std::ptrdiff_t i = c + l + k * lanes;
    T unused = 0;
    return observe<K, J>(edge, times, x[i], J == MarginJob::gradient ? slope[i] : unused);
  });
  values.add(l, widen(sum.value));
  if constexpr (J == MarginJob::gradient) {
    slopes.add(l, sum.slope);
  }
}

/// One chunk, of whole lanes, against one target; returns the sum of its slopes.
template <MarginKind K, MarginJob J, class T>
NDLOSS_INLINE double fold_chunk(const T* x, T* slope, std::ptrdiff_t size, T margin, T score, T times, WideLanes<T>& values) {
  const MarginEdge<T> edge = MultiMarginLoss::edge(margin, score);
  SlopeLanes<power(K), T> slopes;
  slopes.clear();
  std::ptrdiff_t c = 0;
  for (; c + lanes * run <= size; c += lanes * run) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_along<K, J, run>(x, slope, edge, times, c, l, values, slopes);
    }
  }
  for (; c < size; c += lanes) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_along<K, J, 1>(x, slope, edge, times, c, l, values, slopes);
    }
  }
  return J == MarginJob::gradient ? slopes.joined() : 0.0;
}

/// Some numbers of a row as stored.
template <class T>
NDLOSS_INLINE void read_classes(const MarginTile<T>& tile, int r, std::ptrdiff_t first, std::ptrdiff_t size, T* to) {
  const char* from = tile.row[r] + first * tile.class_stride;
  if (tile.pack != nullptr) {
    tile.pack(from, tile.class_stride, size, to, 1);
    return;
  }
  const T* x = reinterpret_cast<const T*>(from);
#pragma omp simd
  for (std::ptrdiff_t c = 0; c < size; ++c) {
    to[c] = x[c];
  }
}

template <class T>
NDLOSS_INLINE T read_class(const MarginTile<T>& tile, int r, std::ptrdiff_t c) {
  T x = 0;
  read_classes(tile, r, c, 1, &x);
  return x;
}

template <class T>
NDLOSS_INLINE void write_class(const MarginRows<T>& rows, int r, std::ptrdiff_t c, T x) {
  char* to = rows.row[r] + c * rows.stride;
  if (rows.store != nullptr) {
    rows.store(&x, 1, 1, *rows.array, to, rows.stride);
  } else {
    *reinterpret_cast<T*>(to) = x;
  }
}

/// Puts out a chunk of second derivatives, given its slopes; returns their sum without the coefficient, a small
/// whole number: exact.
template <class T>
[[gnu::noinline]] double curvature_chunk(const MarginTile<T>& tile, int r, std::ptrdiff_t first, std::ptrdiff_t size,
                                         const T* slope) {
  const T coefficient = tile.coefficient[r];
  char* to = tile.second.row[r] + first * tile.second.stride;
  T line[margin_chunk];
  T* out = tile.second.store != nullptr ? line : reinterpret_cast<T*>(to);
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::ptrdiff_t c = 0; c < size; ++c) {
    const T curvature = MultiMarginLoss::curvature(slope[c]);
    sum += curvature;
    out[c] = coefficient * curvature;
  }
  if (tile.second.store != nullptr) {
    tile.second.store(out, 1, size, *tile.second.array, to, tile.second.stride);
  }
  return static_cast<double>(sum);
}

/// Puts out a chunk of gradients.
template <class T>
NDLOSS_INLINE void emit_chunk(const MarginTile<T>& tile, int r, std::ptrdiff_t first, std::ptrdiff_t size, T* slope) {
  const T coefficient = tile.coefficient[r];
  char* to = tile.out.row[r] + first * tile.out.stride;
  T* out = tile.out.store != nullptr ? slope : reinterpret_cast<T*>(to);
#pragma omp simd
  for (std::ptrdiff_t c = 0; c < size; ++c) {
    out[c] = coefficient * slope[c];
  }
  if (tile.out.store != nullptr) {
    tile.out.store(slope, 1, size, *tile.out.array, to, tile.out.stride);
  }
}

template <MarginKind K, MarginJob J, class T>
void tile_along(const MarginTile<T>& given) {
  const MarginTile<T> tile = given;
  T copy[margin_chunk];
  T slope[J == MarginJob::gradient ? margin_chunk : 1];
  for (int r = 0; r < tile.rows; ++r) {
    const std::int64_t* target = tile.target + r * tile.target_stride;
    const std::ptrdiff_t count = tile.count[r];
    const T* times = K == MarginKind::several ? tile.times + r * tile.target_stride : nullptr;
    double only = 0;
    double curvatures = 0;
    double* sums = K == MarginKind::several ? tile.slopes : &only;
    if constexpr (K == MarginKind::several && J == MarginJob::gradient) {
      for (std::ptrdiff_t k = 0; k < count; ++k) {
        sums[k] = 0;
      }
    }
    WideLanes<T> values;
    values.clear();
    for (std::ptrdiff_t first = 0; first < tile.classes; first += margin_chunk) {
      const std::ptrdiff_t rest = tile.classes - first;
      const std::ptrdiff_t size = rest < margin_chunk ? rest : margin_chunk;
      const std::ptrdiff_t filled = (size + lanes - 1) / lanes * lanes;
      if (tile.pack == nullptr) {
        prefetch_lines(reinterpret_cast<const T*>(tile.row[r]) + first, size);
      }
      bool in_place = tile.pack == nullptr && filled == size;
      for (std::ptrdiff_t k = 0; k < count && in_place; ++k) {
        in_place = target[k] < first || target[k] >= first + size;
      }
      const T* x = copy;
      if (in_place) {
        x = reinterpret_cast<const T*>(tile.row[r]) + first;
      } else {
        read_classes(tile, r, first, size, copy);
        for (std::ptrdiff_t c = size; c < filled; ++c) {
          copy[c] = -math::infinity<T>;
        }
        for (std::ptrdiff_t k = 0; k < count; ++k) {
          if (target[k] >= first && target[k] < first + size) {
            copy[target[k] - first] = -math::infinity<T>;
          }
        }
      }
      if (J == MarginJob::gradient && (K == MarginKind::several || count == 0)) {
#pragma omp simd
        for (std::ptrdiff_t c = 0; c < filled; ++c) {
          slope[c] = 0;
        }
      }
      for (std::ptrdiff_t k = 0; k < count; ++k) {
        const T score = read_class(tile, r, target[k]);
        const T often = K == MarginKind::several ? times[k] : T(1);
        const double sum = fold_chunk<K, J>(x, slope, filled, tile.margin, score, often, values);
        if constexpr (J == MarginJob::gradient) {
          sums[k] += sum;
        }
      }
      if (J == MarginJob::gradient && K == MarginKind::one_squared && tile.second.stride != 0) {
        curvatures += curvature_chunk(tile, r, first, size, slope);
      }
      if constexpr (J == MarginJob::gradient) {
        emit_chunk(tile, r, first, size, slope);
      }
    }
    if constexpr (J == MarginJob::gradient) {
      for (std::ptrdiff_t k = 0; k < count; ++k) {
        write_class(tile.out, r, target[k], tile.coefficient[r] * static_cast<T>(0.0 - sums[k]));
        if (K == MarginKind::one_squared && tile.second.stride != 0) {
          write_class(tile.second, r, target[k], tile.coefficient[r] * static_cast<T>(curvatures));
        }
      }
    }
    const math::Pair<double> sum = values.join();
    tile.value[r] = math::joined(sum.head, sum.tail);
  }
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
