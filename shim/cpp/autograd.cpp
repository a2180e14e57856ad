// Nodes of the autograd graph whose backward pass is a closure of the caller's; backward passes from given gradients.

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/utils/grad_layout_contract.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "common.h"

using shim::guard;
using shim::list;
using shim::Tensor;

namespace {

// `run` reads one gradient for each output (null: undefined) and writes one for each input (null: none), or returns a
// message. `release` lets go of what the closure holds, `destroy` of the closure; neither fails.
struct Closure {
  void* data;
  char* (*run)(void* data, Tensor* const* gradients, size_t n_outputs, Tensor** results, size_t n_inputs);
  void (*release)(void* data);
  void (*destroy)(void* data);
};

struct ClosureNode : torch::autograd::Node {
  ClosureNode(Closure closure, torch::autograd::edge_list edges) : Node(std::move(edges)), closure_(closure) {}
  ~ClosureNode() override { closure_.destroy(closure_.data); }

  std::string name() const override { return "ClosureBackward"; }

  // The engine calls this after a backward pass that does not keep the graph.
  void release_variables() override { closure_.release(closure_.data); }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const size_t n_inputs = num_outputs();  // The node's outputs are gradients of the function's inputs.
    std::vector<Tensor*> given;
    given.reserve(gradients.size());
    for (Tensor& gradient : gradients) given.push_back(gradient.defined() ? &gradient : nullptr);
    std::vector<Tensor*> results(n_inputs, nullptr);
    if (char* text = closure_.run(closure_.data, given.data(), given.size(), results.data(), n_inputs)) {
      std::unique_ptr<char, decltype(&std::free)> owned(text, &std::free);
      throw std::runtime_error(text);
    }
    torch::autograd::variable_list list(n_inputs);
    for (size_t i = 0; i < n_inputs; i++) {
      if (!results[i]) continue;
      list[i] = std::move(*results[i]);
      delete results[i];
    }
    return list;
  }

 private:
  Closure closure_;
};

}  // namespace

extern "C" {

void shim_free(char* text) { std::free(text); }

// A copy of `length` bytes as a message; for closures, whose messages this side frees.
char* shim_message(const char* text, size_t length) { return shim::message(std::string(text, length).c_str()); }

// `results[i]` shares its memory with `outputs[i]` and has the closure as its history, or none if there is nothing to
// differentiate. Whatever comes of it, the closure is taken.
char* shim_node(Tensor* const* inputs, size_t n_inputs, Tensor* const* outputs, size_t n_outputs, Closure closure,
                Tensor** results) {
  std::unique_ptr<void, void (*)(void*)> owned(closure.data, closure.destroy);
  return guard([&] {
    const auto sources = list(inputs, n_inputs);
    std::vector<Tensor> fresh;
    for (const Tensor& output : list(outputs, n_outputs)) {
      TORCH_CHECK(!output.requires_grad(), "an output of the node has a history of its own");
      // Not `detach`: its views cannot be given a history.
      fresh.push_back(output.variable_data());
    }
    if (at::GradMode::is_enabled() && torch::autograd::compute_requires_grad(sources)) {
      for (const Tensor& output : fresh) {
        TORCH_CHECK(torch::autograd::isDifferentiableType(output.scalar_type()), "an output of the node has type ",
                    output.scalar_type(), ", which has no gradient");
      }
      auto edges = torch::autograd::collect_next_edges(sources);
      auto* node = new ClosureNode(closure, std::move(edges));
      owned.release();  // The node destroys the closure from here on.
      torch::autograd::set_history(fresh, std::shared_ptr<ClosureNode>(node, torch::autograd::deleteNode));
    }
    for (size_t i = 0; i < n_outputs; i++) results[i] = new Tensor(std::move(fresh[i]));
  });
}

char* shim_vjp(Tensor* const* outputs, Tensor* const* gradients, size_t n, Tensor* const* inputs, size_t n_inputs,
               bool keep_graph, Tensor** results) {
  return guard([&] {
    auto found = torch::autograd::grad(list(outputs, n), list(inputs, n_inputs), list(gradients, n), keep_graph,
                                       /*create_graph=*/false, /*allow_unused=*/true);
    for (size_t i = 0; i < n_inputs; i++) results[i] = found[i].defined() ? new Tensor(std::move(found[i])) : nullptr;
  });
}

char* shim_backward(Tensor* const* outputs, Tensor* const* gradients, size_t n, bool keep_graph) {
  return guard([&] { torch::autograd::backward(list(outputs, n), list(gradients, n), keep_graph); });
}

// `gradient` may be null: the leaf has none afterwards.
char* shim_set_grad(Tensor* leaf, Tensor* gradient) {
  return guard([&] {
    TORCH_CHECK(leaf->is_leaf() && leaf->requires_grad(), "only a leaf that requires a gradient holds one");
    if (!gradient) {
      leaf->mutable_grad().reset();
      return;
    }
    TORCH_CHECK(gradient->sizes() == leaf->sizes(), "the gradient has shape ", gradient->sizes(), ", the leaf ",
                leaf->sizes());
    TORCH_CHECK(gradient->scalar_type() == leaf->scalar_type(), "the gradient has type ", gradient->scalar_type(),
                ", the leaf ", leaf->scalar_type());
    TORCH_CHECK(gradient->device() == leaf->device(), "the gradient is on ", gradient->device(), ", the leaf on ",
                leaf->device());
    at::NoGradGuard no_grad;
    Tensor own = gradient->detach();
    // As a backward pass leaves it: in the leaf's layout.
    if (!torch::autograd::utils::obeys_layout_contract(own, *leaf)) {
      own = torch::autograd::utils::clone_obey_contract(own, *leaf);
    }
    leaf->mutable_grad() = std::move(own);
  });
}

}  // extern "C"
