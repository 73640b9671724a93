/// Margin losses of long rows: one row at a time, lanes along the classes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels_label.hpp"
#include "kernels_margin_hinges.hpp"
#include "ndloss/streamed.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

/// Classes that an along kernel holds in L1 at a time: whole runs.
inline constexpr std::ptrdiff_t margin_chunk = 2048;
static_assert(margin_chunk % (lanes * run) == 0);

/// As labels_inside, for labels that are read in the order of memory, which is asked for those that follow.
bool labels_of_row_inside(const std::int64_t* labels, std::ptrdiff_t count, std::int64_t lowest, std::int64_t classes) {
  const auto shift = static_cast<std::uint64_t>(-lowest);
  const std::uint64_t last = static_cast<std::uint64_t>(classes) + shift - 1;
  std::uint64_t outside[lanes];
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    outside[l] = 0;
  }
  std::ptrdiff_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    prefetch_lines(labels + i, lanes);
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      const std::uint64_t from_first = static_cast<std::uint64_t>(labels[i + l]) + shift;
      outside[l] |= from_first | (last - from_first);
    }
  }
  std::uint64_t any = 0;
#pragma omp simd reduction(| : any)
  for (int l = 0; l < lanes; ++l) {
    any |= outside[l];
  }
  return any >> 63 == 0 && labels_inside(labels + i, count - i, lowest, classes);
}

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

/// `Number` lanes of classes against `Abreast` targets.
template <MarginJob J, int Number, int Abreast, class T>
NDLOSS_INLINE void observe_sets_along(const T* x, T* slope, const MarginEdge<T>* edges, const T* times, std::ptrdiff_t c, int l,
                                      WideLanes<T>& values, SlopeLanes<1, T>* slopes) {
  const auto sum = pairwise<Number>([&](int n) __attribute__((always_inline)) {
    const std::ptrdiff_t i = c + l + n * lanes;
    const auto of_class = pairwise<Abreast>([&](int j) __attribute__((always_inline)) {
      T unused = 0;
      const auto tally = observe<MarginKind::several, J>(edges[j], times[j], x[i], unused);
      if constexpr (J == MarginJob::gradient) {
        slopes[j].add(l, tally.slope);
      }
      return tally;
    });
    if constexpr (J == MarginJob::gradient) {
      slope[i] += of_class.slope.head;
    }
    return of_class;
  });
  values.add(l, widen(sum.value));
}

/// One chunk, of whole lanes, against `Abreast` targets, to whose sums of slopes it adds. What is not there adds 0: the bits
/// do not depend on how many targets are taken side by side.
template <MarginJob J, int Abreast, class T>
NDLOSS_INLINE void fold_sets(const T* x, T* slope, std::ptrdiff_t size, const MarginEdge<T>* given_edges, const T* given_times,
                             WideLanes<T>& values, double* sums) {
  constexpr int wide = run / abreast;
  MarginEdge<T> edges[Abreast];
  T times[Abreast];
  SlopeLanes<1, T> slopes[Abreast];
  for (int j = 0; j < Abreast; ++j) {
    edges[j] = given_edges[j];
    times[j] = given_times[j];
    if constexpr (J == MarginJob::gradient) {
      slopes[j].clear();
    }
  }
  std::ptrdiff_t c = 0;
  for (; c + lanes * wide <= size; c += lanes * wide) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_sets_along<J, wide, Abreast>(x, slope, edges, times, c, l, values, slopes);
    }
  }
  for (; c < size; c += lanes) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_sets_along<J, 1, Abreast>(x, slope, edges, times, c, l, values, slopes);
    }
  }
  if constexpr (J == MarginJob::gradient) {
    for (int j = 0; j < Abreast; ++j) {
      sums[j] += slopes[j].joined();
    }
  }
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
  constexpr std::ptrdiff_t step = 4 * line_bytes / static_cast<std::ptrdiff_t>(sizeof(T));
  std::ptrdiff_t c = 0;
  for (; c + step <= size; c += step) {
    prefetch_lines(x + c, step);
#pragma omp simd
    for (std::ptrdiff_t k = 0; k < step; ++k) {
      to[c + k] = x[c + k];
    }
  }
#pragma omp simd
  for (std::ptrdiff_t k = c; k < size; ++k) {
    to[k] = x[k];
  }
}

template <class T>
NDLOSS_INLINE T read_class(const MarginTile<T>& tile, int r, std::ptrdiff_t c) {
  const char* from = tile.row[r] + c * tile.class_stride;
  if (tile.pack == nullptr) {
    return *reinterpret_cast<const T*>(from);
  }
  T x = 0;
  tile.pack(from, tile.class_stride, 1, &x, 1);
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

/// Puts out a chunk of gradients; it is `complete` if no target is written to it later.
template <class T>
NDLOSS_INLINE void emit_chunk(const MarginTile<T>& tile, int r, std::ptrdiff_t first, std::ptrdiff_t size, bool complete,
                              T* slope) {
  const T coefficient = tile.coefficient[r];
  char* to = tile.out.row[r] + first * tile.out.stride;
  alignas(stream_alignment) T room[margin_chunk + line_numbers<T>];
  const bool streams = streaming_stores && complete && tile.out.streams;
  T* const numbers = reinterpret_cast<T*>(to);
  T* const out = streams ? alike(room, numbers) : tile.out.store != nullptr ? slope : numbers;
#pragma omp simd
  for (std::ptrdiff_t c = 0; c < size; ++c) {
    out[c] = coefficient * slope[c];
  }
  if (streams) {
    stream_numbers(out, numbers, size);
  } else if (tile.out.store != nullptr) {
    tile.out.store(slope, 1, size, *tile.out.array, to, tile.out.stride);
  }
}

template <MarginKind K, MarginJob J, class T>
void tile_along(const MarginTile<T>& given) {
  const MarginTile<T> tile = given;
  T copy[margin_chunk];
  T slope[J == MarginJob::gradient ? margin_chunk : 1];
  const bool is_whole = tile.classes <= margin_chunk;  // sums are complete before the chunk is put out
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
      bool has_target = false;
      for (std::ptrdiff_t k = 0; k < count && !has_target; ++k) {
        has_target = target[k] >= first && target[k] < first + size;
      }
      const bool in_place = tile.pack == nullptr && filled == size && !has_target;
      const T* x = copy;
      if (in_place) {
        prefetch_lines(reinterpret_cast<const T*>(tile.row[r]) + first, size);
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
      if constexpr (K == MarginKind::several) {
        for (std::ptrdiff_t k = 0; k < count; k += abreast) {
          MarginEdge<T> edges[abreast];
          T often[abreast];
          double slopes[abreast];
          for (std::ptrdiff_t j = 0; j < abreast; ++j) {  // where there is no target, no class comes near it
            const bool present = k + j < count;
            edges[j] = MultiMarginLoss::edge(tile.margin, present ? read_class(tile, r, target[k + j]) : math::infinity<T>);
            often[j] = present ? times[k + j] : T(0);
            slopes[j] = 0;
          }
          if (count - k == 1) {
            fold_sets<J, 1>(x, slope, filled, edges, often, values, slopes);
          } else if (count - k == 2) {
            fold_sets<J, 2>(x, slope, filled, edges, often, values, slopes);
          } else {
            fold_sets<J, abreast>(x, slope, filled, edges, often, values, slopes);
          }
          for (std::ptrdiff_t j = 0; J == MarginJob::gradient && j < abreast && k + j < count; ++j) {
            sums[k + j] += slopes[j];
          }
        }
      } else {
        for (std::ptrdiff_t k = 0; k < count; ++k) {
          const double sum = fold_chunk<K, J>(x, slope, filled, tile.margin, read_class(tile, r, target[k]), T(1), values);
          if constexpr (J == MarginJob::gradient) {
            sums[k] += sum;
          }
        }
      }
      if (J == MarginJob::gradient && K == MarginKind::one_squared && tile.second.stride != 0) {
        curvatures += curvature_chunk(tile, r, first, size, slope);
      }
      if constexpr (J == MarginJob::gradient) {
        for (std::ptrdiff_t k = 0; k < count && is_whole; ++k) {
          slope[target[k]] = static_cast<T>(0.0 - sums[k]);
        }
        emit_chunk(tile, r, first, size, is_whole || !has_target, slope);
      }
    }
    if constexpr (J == MarginJob::gradient) {
      for (std::ptrdiff_t k = 0; k < count; ++k) {
        if (!is_whole) {
          write_class(tile.out, r, target[k], tile.coefficient[r] * static_cast<T>(0.0 - sums[k]));
        }
        if (K == MarginKind::one_squared && tile.second.stride != 0) {
          write_class(tile.second, r, target[k], tile.coefficient[r] * static_cast<T>(curvatures));
        }
      }
    }
    const math::Pair<double> sum = values.join();
    tile.value[r] = math::joined(sum.head, sum.tail);
  }
  if (streaming_stores && J == MarginJob::gradient && tile.out.streams) {
    end_stream();
  }
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
