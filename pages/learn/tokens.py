import streamlit as st

st.write("tokens")
