/// What a vector kernel is given: tiles of rows of features and where their results go. The one language of kernels and
/// driver.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ndloss/distances.hpp"

namespace ndloss {

/// Rows of a tile at most, and lanes of the kernels that run across rows.
inline constexpr int vector_tile_rows = 32;

/// Below this many features the lanes run across rows (but for rows of one step of the lanes), from it on along them.
inline constexpr std::ptrdiff_t short_vector = 24;

/// From so many features on a row's gradients may go past the caches: what ends in few lines takes as long.
inline constexpr std::ptrdiff_t streamed_vector = 64;

/// How far ahead of its loads and stores a kernel asks memory for what comes: so many bytes, or a row if that is longer.
inline constexpr std::ptrdiff_t vector_bytes_ahead = 4096;

/// Two or three vectors.
inline constexpr int max_vectors = 3;

/// What is made of distances: one as it is, or a loss of one, two or three.
enum class VectorJob : std::uint8_t { distance, triplet, swapped_triplet, cosine_embedding };
inline constexpr int vector_jobs = 4;

enum class DistanceKind : std::uint8_t { manhattan, euclidean, extreme, power, cosine, embedding_cosine };
inline constexpr int distance_kinds = 6;

struct VectorParameters {
  double margin = 0;
  DistanceParameters distance;
  bool swap = false;
};

/// At most `vector_tile_rows` rows for a kernel's inner functions, any number for the kernel; strides count elements, features
/// are adjacent.
template <class T>
struct VectorTile {
  const T* operand[max_vectors] = {};
  std::ptrdiff_t stride[max_vectors] = {};
  int rows = 0;
  std::ptrdiff_t features = 0;
  const double* label = nullptr;  // one per row; of whole tiles of entries, as the next two
  const double* scale = nullptr;  // multiplies a row's gradient
  double* value = nullptr;
  T* grad[max_vectors] = {};  // null: not wanted
  std::ptrdiff_t grad_stride[max_vectors] = {};
  bool streams = false;  // whether gradients, of long rows without gaps, go past the caches where a kernel can
};

template <class T>
struct VectorKernels {
  void (*value)(const VectorTile<T>& tile, const VectorParameters& with);
  void (*gradient)(const VectorTile<T>& tile, const VectorParameters& with);
};

/// By job and distance; null where a job has no such distance, or not in this type.
template <class T>
struct VectorTable {
  VectorKernels<T> kernels[vector_jobs][distance_kinds];
};

/// Lanes in which losses are added.
inline constexpr std::int64_t loss_lanes = 8;

/// Sums of losses, compensated: loss i is in lane i modulo loss_lanes.
struct LossSums {
  double heads[loss_lanes];
  double tails[loss_lanes];
};

struct VectorTables {
  VectorTable<float> single;
  VectorTable<double> twice;
  LossSums (*sum)(const double* losses, std::int64_t count);
};

}  // namespace ndloss
