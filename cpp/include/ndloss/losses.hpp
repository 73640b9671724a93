/// The registry: every loss that ships, one line each. Kernels, bindings and tests follow from it.
#pragma once

#include <cstddef>
#include <type_traits>

#include "ndloss/losses/activations.hpp"
#include "ndloss/losses/binary_cross_entropy.hpp"
#include "ndloss/losses/binary_cross_entropy_with_logits.hpp"
#include "ndloss/losses/cosine_embedding.hpp"
#include "ndloss/losses/cross_entropy.hpp"
#include "ndloss/losses/ctc.hpp"
#include "ndloss/losses/gaussian_nll.hpp"
#include "ndloss/losses/hinge_embedding.hpp"
#include "ndloss/losses/huber.hpp"
#include "ndloss/losses/identity.hpp"
#include "ndloss/losses/kl_div.hpp"
#include "ndloss/losses/l1.hpp"
#include "ndloss/losses/margin_ranking.hpp"
#include "ndloss/losses/mse.hpp"
#include "ndloss/losses/multi_margin.hpp"
#include "ndloss/losses/multilabel_margin.hpp"
#include "ndloss/losses/multilabel_soft_margin.hpp"
#include "ndloss/losses/nll.hpp"
#include "ndloss/losses/poisson_nll.hpp"
#include "ndloss/losses/smooth_l1.hpp"
#include "ndloss/losses/soft_margin.hpp"
#include "ndloss/losses/triplet_margin.hpp"

namespace ndloss {

template <class... L>
struct TypeList {
  static constexpr std::size_t size = sizeof...(L);
};

/// Losses of one element at a time, and the activations that are maps of one element.
using ElementwiseLosses = TypeList<L1Loss,                          //
                                   MSELoss,                         //
                                   SmoothL1Loss,                    //
                                   HuberLoss,                       //
                                   KLDivLoss,                       //
                                   KLDivLogTargetLoss,              //
                                   PoissonNLLLoss,                  //
                                   PoissonNLLFullLoss,              //
                                   PoissonNLLRateLoss,              //
                                   PoissonNLLRateFullLoss,          //
                                   GaussianNLLLoss,                 //
                                   BCELoss,                         //
                                   BCEWithLogitsLoss,               //
                                   BCEWithLogitsPosWeightLoss,      //
                                   MultiLabelSoftMarginLoss,        //
                                   SoftMarginLoss,                  //
                                   HingeEmbeddingLoss,              //
                                   MarginRankingLoss,               //
                                   Sigmoid,                         //
                                   LogSigmoid,                      //
                                   Identity,                        //
                                   TripletMarginOfDistances,        //
                                   TripletMarginOfSwappedDistances  //
                                   >;

/// Losses of one row of classes at a time.
using RowLosses = TypeList<CrossEntropyLoss,     //
                           NLLLoss,              //
                           MultiMarginLoss,      //
                           MultiLabelMarginLoss  //
                           >;

/// Losses of the vectors of a row.
using VectorLosses = TypeList<CosineEmbeddingLoss,  //
                              TripletMarginLoss     //
                              >;

/// Losses of one sequence of frames at a time.
using SequenceLosses = TypeList<CTCLoss  //
                                >;

template <class L, class List>
struct IndexIn;

template <class L, class... Ls>
struct IndexIn<L, TypeList<Ls...>> {
  static constexpr std::size_t value = [] {
    std::size_t index = 0;
    static_cast<void>(((std::is_same_v<L, Ls> || (++index, false)) || ...));
    return index;
  }();
};

/// Whether L ships with the library: then its kernels come from there, never from the program that uses it.
template <class L>
inline constexpr bool is_registered = IndexIn<L, ElementwiseLosses>::value < ElementwiseLosses::size;

}  // namespace ndloss
