/// Rows of vectors: losses of two or three vectors a row, and distances, evaluated from C++.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

#include "ndloss/accumulator.hpp"
#include "ndloss/calls.hpp"
#include "ndloss/distances.hpp"
#include "ndloss/evaluate.hpp"
#include "ndloss/losses/cosine_embedding.hpp"
#include "ndloss/losses/triplet_margin.hpp"
#include "ndloss/views.hpp"

namespace ndloss {

enum class VectorKind : std::uint8_t { distance, triplet, cosine_embedding };

/// p_norm is ||x - y + eps||_p; cosine is the similarity as a distance's own job, 1 - similarity within a triplet.
enum class DistanceFamily : std::uint8_t { p_norm, cosine };

/// What to read, in which type to store, and which rows of it, in C order. The views must outlive the call.
struct VectorCall {
  VectorKind kind = VectorKind::distance;
  DistanceFamily family = DistanceFamily::p_norm;
  double margin = 0;
  double p = 2;
  double eps = 1e-6;
  bool swap = false;
  const ArrayView* operands[3] = {};         // two, three for a triplet; one shape, the features last
  const ArrayView* label = nullptr;          // shape of the rows; cosine embedding only
  const ArrayView* sample_weight = nullptr;  // shape of the rows: multiplies a row's loss and its part of the divisor
  DType compute = DType::float32;            // float32 or float64
  std::int64_t begin = 0;
  std::int64_t end = -1;
  Accumulator initial;  // what the blocks are added to, one by one
  int threads = 0;
  Interrupt interrupt;
};

/// A strided array that results go to; without data: not wanted.
struct WritableView {
  void* data = nullptr;
  ArrayView layout;
  bool dense = false;  // only the rows of the call's range have a place, one after the other

  [[nodiscard]] bool wanted() const { return data != nullptr; }
};

/// Gradients have the operands' shape. A row's is its derivative times weight, upstream and scale.
struct VectorGradients {
  double scale = 1;
  const ArrayView* upstream = nullptr;  // shape of the rows
  bool dense_upstream = false;          // it has numbers for the rows of the call's range alone, in one dimension
  const ArrayView* mask = nullptr;      // shape of the rows: where it is 0 gradients are too, whatever the row holds
  WritableView grads[3];
  Output value;  // the unreduced loss, if wanted too
};

[[nodiscard]] Accumulator accumulate(const VectorCall& call);

/// One number per row.
void map(const VectorCall& call, const Output& value);

[[nodiscard]] Accumulator gradients(const VectorCall& call, const VectorGradients& wanted);

[[nodiscard]] double gradient_scale(const VectorCall& call, Reduction reduction);

/// Rows of a block: a stream that is fed whole blocks has the bits of the whole.
[[nodiscard]] std::int64_t vector_block(std::int64_t features);

/// Σ_k weights[k] parts[k], element by element of arrays of one shape.
/// Of elements [begin, begin + to.size).
void weighted_sum(std::span<const ArrayView> weights, std::span<const ArrayView> parts, const Output& to,
                  std::int64_t begin = 0);

/// ||x - y + eps||_p of two vectors.
struct PairwiseDistance {
  double p = 2.0;
  double eps = 1e-6;
  static constexpr const char* name = "pairwise_distance";
};

/// Σ x y / (max(||x||, eps) max(||y||, eps)).
struct CosineOfVectors {
  double eps = 1e-8;
  static constexpr const char* name = "cosine_similarity";
};

/// A call from arrays of shape (rows, features), with the views it needs. Throws std::invalid_argument.
class VectorCallStorage {
 public:
  VectorCallStorage(const CosineEmbeddingLoss& loss, std::initializer_list<ArrayView> vectors, const ArrayView& label,
                    const Options& options);
  VectorCallStorage(const TripletMarginLoss& loss, std::initializer_list<ArrayView> vectors, const Options& options);
  VectorCallStorage(const PairwiseDistance& distance, std::initializer_list<ArrayView> vectors, const Options& options);
  VectorCallStorage(const CosineOfVectors& distance, std::initializer_list<ArrayView> vectors, const Options& options);
  VectorCallStorage(const VectorCallStorage&) = delete;
  VectorCallStorage& operator=(const VectorCallStorage&) = delete;

  /// Gradients for the vectors, in order, C-contiguous; an empty Output skips one.
  [[nodiscard]] VectorGradients gradients(std::initializer_list<Output> grads, Reduction reduction) const;

  VectorCall call;

 private:
  void complete(const char* name, std::initializer_list<ArrayView> vectors, std::size_t expected, const Options& options);

  const char* name_ = nullptr;
  ArrayView views_[3];
  ArrayView label_;
  ArrayView sample_weight_;
};

/// Losses whose arguments are vectors alone.
template <class L>
concept PlainVectorLoss =
    std::is_same_v<L, TripletMarginLoss> || std::is_same_v<L, PairwiseDistance> || std::is_same_v<L, CosineOfVectors>;

template <PlainVectorLoss L>
[[nodiscard]] Accumulator accumulate(const L& loss, std::initializer_list<ArrayView> vectors, const Options& options = {}) {
  return accumulate(VectorCallStorage(loss, vectors, options).call);
}

template <PlainVectorLoss L>
[[nodiscard]] double evaluate(const L& loss, std::initializer_list<ArrayView> vectors, const Options& options = {}) {
  return accumulate(loss, vectors, options).compute(options.reduction);
}

/// One number per row.
template <PlainVectorLoss L, class T, std::size_t N>
void evaluate(const L& loss, std::initializer_list<ArrayView> vectors, std::span<T, N> out, const Options& options = {}) {
  map(VectorCallStorage(loss, vectors, options).call, Output(out));
}

template <PlainVectorLoss L>
double value_and_gradient(const L& loss, std::initializer_list<ArrayView> vectors, std::initializer_list<Output> grads,
                          const Options& options = {}) {
  const VectorCallStorage storage(loss, vectors, options);
  return gradients(storage.call, storage.gradients(grads, options.reduction)).compute(options.reduction);
}

[[nodiscard]] inline Accumulator accumulate(const CosineEmbeddingLoss& loss, std::initializer_list<ArrayView> vectors,
                                            const ArrayView& label, const Options& options = {}) {
  return accumulate(VectorCallStorage(loss, vectors, label, options).call);
}

[[nodiscard]] inline double evaluate(const CosineEmbeddingLoss& loss, std::initializer_list<ArrayView> vectors,
                                     const ArrayView& label, const Options& options = {}) {
  return accumulate(loss, vectors, label, options).compute(options.reduction);
}

/// One number per row.
template <class T, std::size_t N>
void evaluate(const CosineEmbeddingLoss& loss, std::initializer_list<ArrayView> vectors, const ArrayView& label,
              std::span<T, N> out, const Options& options = {}) {
  map(VectorCallStorage(loss, vectors, label, options).call, Output(out));
}

inline double value_and_gradient(const CosineEmbeddingLoss& loss, std::initializer_list<ArrayView> vectors,
                                 const ArrayView& label, std::initializer_list<Output> grads, const Options& options = {}) {
  const VectorCallStorage storage(loss, vectors, label, options);
  return gradients(storage.call, storage.gradients(grads, options.reduction)).compute(options.reduction);
}

}  // namespace ndloss
